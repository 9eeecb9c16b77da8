// Every text that is seen, a typed one and a placeholder too, with its contrast to what lies behind it where its first line is; of
// a gradient each colour counts. Disabled controls are exempt, and letters of the browser's own players can't be looked at.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, ground) => [0, 1, 2].map((at) => top[at] * top[3] + ground[at] * (1 - top[3]));
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const layers = (element) => {
    const style = getComputedStyle(element);
    const stops = style.backgroundImage.match(/(rgba?|hsla?|oklch|color)\\([^)]*\\)/g) || [];
    return [[rgba(style.backgroundColor)], stops.map(rgba)].filter((each) => each.length);
  };
  const grounds = (element, x, y) => {
    const stack = document.elementsFromPoint(x, y);
    const from = stack.indexOf(element);
    const below = from < 0 ? [] : stack.slice(from);
    if (from < 0) for (let each = element; each; each = each.parentElement) below.push(each);
    return below.reverse().flatMap(layers).reduce((known, layer) => known.flatMap((ground) => layer.map((top) => over(top, ground))), [[255, 255, 255]]);
  };
  const opacity = (element) => {
    let product = 1;
    for (let each = element; each; each = each.parentElement) product *= getComputedStyle(each).opacity;
    return product;
  };
  const judge = (element, text, rectangle, style) => {
    const [x, y] = [rectangle.x + rectangle.width / 2, rectangle.y + rectangle.height / 2];
    const [red, green, blue, alpha] = rgba(style.color);
    const ink = [red, green, blue, alpha * opacity(element)];
    const least = Math.min(...grounds(element, x, y).map((ground) => ratio(over(ink, ground), ground)));
    const pixels = parseFloat(style.fontSize);
    const isLarge = pixels >= 24 || (pixels >= 18.66 && Number(style.fontWeight) >= 700);
    return { text: text.trim().slice(0, 60), ratio: least, needed: isLarge ? 3 : 4.5, at: element.className || element.tagName };
  };
  const isSeen = (element, rectangle) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && rectangle.width > 2 && rectangle.height > 2
    && !element.closest(":disabled, [aria-disabled=true], .unseen, .sr-only, script, style, option");
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    range.selectNodeContents(walker.currentNode);
    const rectangle = range.getClientRects()[0];
    if (!walker.currentNode.data.trim() || !rectangle || !isSeen(element, rectangle)) continue;
    found.push(judge(element, walker.currentNode.data, rectangle, getComputedStyle(element)));
  }
  for (const field of document.querySelectorAll("input:is([type=text], [type=number], :not([type])), textarea, select")) {
    const text = field.value || field.placeholder;
    if (text && isSeen(field, field.getBoundingClientRect()))
      found.push(judge(field, text, field.getBoundingClientRect(), getComputedStyle(field, field.value ? null : "::placeholder")));
  }
  return { texts: found.length, faint: found.filter((each) => each.ratio < each.needed) };
}
