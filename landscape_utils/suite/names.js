// Gives names to what ipywidgets leaves without one: a slider's handles take its label's, a player's buttons their
// icon's, and the picture says what it shows.
const ICONS = { "fa-play": "play", "fa-pause": "pause", "fa-stop": "stop", "fa-retweet": "repeat" };

function render({ model, el }) {
  const name = () => {
    const panel = el.closest(".landscape-panel");
    for (const handle of panel?.querySelectorAll(".noUi-handle") ?? []) {
      const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label");
      if (label) handle.setAttribute("aria-label", label.textContent);
    }
    for (const icon of panel?.querySelectorAll("button > i") ?? []) {
      const known = Object.keys(ICONS).find((name) => icon.classList.contains(name));
      if (known) icon.parentElement.setAttribute("aria-label", ICONS[known]);
    }
    for (const image of panel?.querySelectorAll("img.widget-image") ?? []) image.alt = model.get("alt");
  };
  const observer = new MutationObserver(name); // the panel's parts come one by one, this one perhaps first
  observer.observe(document.body, { childList: true, subtree: true, attributeFilter: ["class"] });
  model.on("change:alt", name);
  name();
  return () => observer.disconnect();
}

export default { render };
