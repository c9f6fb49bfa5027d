// What a page says about its own layout: headings, overflow, names, tap targets.
() => ({
  title: document.title,
  headings: [...document.querySelectorAll('h1')].length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  widest: [...document.querySelectorAll('main *')]
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.table-wrap, .tabs'))
    .slice(0, 3).map((e) => e.outerHTML.slice(0, 120)),
  unlabelled: [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
    .filter((e) => !e.labels?.length && !e.getAttribute('aria-label')).map((e) => e.outerHTML.slice(0, 120)),
  nameless: [...document.querySelectorAll('button, a[href]')]
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML.slice(0, 120)),
  duplicated: [...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i),
  small: innerWidth > 700 ? [] : [...document.querySelectorAll('button, .button, select, .input, .nav a, .bottombar a')]
    .filter((e) => e.checkVisibility() && (e.getBoundingClientRect().height < 43.5)).map((e) => e.outerHTML.slice(0, 120)),
})
