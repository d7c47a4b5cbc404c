"""DICOM files: from the data set to grey levels, frame by frame."""
