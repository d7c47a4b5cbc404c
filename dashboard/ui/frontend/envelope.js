// bytes = length of the header (uint32, little endian), header (JSON with `sizes` and `types`), blobs one after another
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)))
  let offset = 4 + length
  const blobs = header.sizes.map((size, index) => {
    const blob = new Blob([bytes.slice(offset, offset + size)], { type: header.types[index] })
    offset += size
    return blob
  })
  return [header, blobs]
}

// Show blobs in images, all at once and only when they are decoded; an empty blob leaves its image as it is.
// `still()`: whether they are still wanted by then.
async function swap(images, blobs, still) {
  const fresh = await Promise.all(
    blobs.map(async (blob) => {
      if (!blob.size) return ""
      const url = URL.createObjectURL(blob)
      const probe = new Image()
      probe.src = url
      await probe.decode().catch(() => undefined)
      return url
    }),
  )
  const wanted = still()
  fresh.forEach((url, index) => {
    if (!url) return
    if (!wanted) return URL.revokeObjectURL(url)
    const old = images[index].src
    images[index].src = url
    if (old.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(old), 1000)
  })
  return wanted
}
