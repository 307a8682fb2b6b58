// Evaluates to the facts about the page that is open.
(() => {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  // Relative luminance and contrast as WCAG 2.2 defines them.
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor, alpha = channels(color)[3];
      if (alpha === undefined || alpha === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (text) texts.push({ Text: text, Contrast: contrast(getComputedStyle(element).color, background(element)) });
  }
  const code = document.querySelector(".code"), range = document.createRange(), node = code.querySelector("span")?.firstChild ?? code.firstChild;
  const rects = [...node.data].map((_, i) => {
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    return range.getBoundingClientRect();
  });
  return {
    Lang: document.documentElement.lang,
    Dir: document.documentElement.dir,
    Direction: getComputedStyle(document.body).direction,
    Title: document.title,
    Width: window.innerWidth,
    ScrollWidth: document.documentElement.scrollWidth,
    Background: luminance(background(document.body)),
    Headings: document.querySelectorAll("h1").length,
    Loads: document.querySelectorAll("img, a, script, link, iframe, form").length + performance.getEntriesByType("resource").length,
    Texts: texts,
    Code: {
      Text: code.textContent,
      Size: parseFloat(getComputedStyle(code).fontSize),
      Lines: new Set(rects.filter((r) => r.width > 0).map((r) => Math.round(r.top))).size,
      LeftToRight: rects.every((r, i) => i === 0 || r.left > rects[i - 1].left),
    },
  };
})();
