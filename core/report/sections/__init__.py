"""The report's sections, in the order of the guidelines; each module takes the material and gives sections."""
