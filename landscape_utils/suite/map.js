// A picture that says where it is clicked and what lies under the pointer. It asks nobody but its own kernel.
const EVERY = 80; // milliseconds between two places of a pointer that moves

function render({ model, el }) {
  const image = document.createElement("img");
  const tip = document.createElement("div");
  image.className = "landscape-map";
  image.style.cssText = "max-width: 100%; height: auto; cursor: crosshair;";
  tip.style.cssText = "min-height: 1.4em; font-size: 90%;";
  tip.setAttribute("aria-live", "polite");
  el.append(image, tip);

  const place = (event) => {
    const box = image.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const tell = (name, where) => {
    model.set(name, [...where, Date.now()]); // the time makes a second click on one place a change
    model.save_changes();
  };
  let told = 0;
  image.addEventListener("click", (event) => tell("clicked", place(event)));
  image.addEventListener("mousemove", (event) => {
    if (Date.now() - told < EVERY) return;
    told = Date.now();
    tell("pointer", place(event));
  });

  let address = "";
  const show = () => {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    image.src = address;
    image.width = model.get("width");
    image.alt = model.get("alt");
  };
  const say = () => (tip.textContent = model.get("tip"));
  model.on("change:value", show);
  model.on("change:tip", say);
  show();
  say();
  return () => URL.revokeObjectURL(address);
}

export default { render };
