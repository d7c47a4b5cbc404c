// The image viewer by itself (viewing.js).
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  viewing(parentElement.querySelector(".viewer"), data, { onLost: () => setTriggerValue("lost", String(Date.now())) })
}
