// The log of a run: of however many lines only those in sight and around it are there. The server numbers the lines
// and makes their markup, block by block; this puts blocks where they belong, and asks for what is new.

/** Lines of a block, px around what is in sight that are filled, blocks that are remembered, ms between two looks. */
const BLOCK = 200, AROUND = 1500, KEPT = 40, LOOK = 1000;

/** @param {string} id @returns {any} */
const get = (id) => document.getElementById(`log-${id}`);

export function start() {
  const root = /** @type {HTMLElement} */ (document.getElementById('log'));
  const [lines, field, say, stream, attempt] = ['lines', 'find', 'found', 'stream', 'attempt'].map(get);
  const [top, inner, bottom] = ['div', 'div', 'div'].map((tag) => document.createElement(tag));
  /** Blocks as they came, the latest last; their heights as measured; those that are there; those asked for.
   * @type {[Map<number, string>, Map<number, number>, Map<number, HTMLElement>, Set<number>]} */
  let [known, heights, shown, asked] = [new Map(), new Map(), new Map(), new Set()];
  let total = Number(root.dataset.total), settled = total, bytes = -1, edition = root.dataset.edition ?? '';
  let over = root.dataset.over === 'true', each = 24, follow = !location.hash, last = 0, age = 0;
  /** Places of what is looked for, which of them is shown, of how many. @type {number[]} */
  let found = [];
  let at = -1, all = 0, word = '';
  /** The place to be shown once its block has come, and the part of the height that is to be above it. */
  let wanted = 0, above = 0;
  /** The lines that are marked. */
  let marked = [0, 0];

  const blocks = () => Math.ceil(total / BLOCK);
  const of = (/** @type {number} */ place) => Math.floor((place - 1) / BLOCK);
  const size = (/** @type {number} */ n) => Math.min(BLOCK, total - n * BLOCK);
  const high = (/** @type {number} */ n) => heights.get(n) ?? size(n) * each;
  const end = () => lines.scrollHeight - lines.clientHeight;

  /** @param {Record<string, string | number>} more */
  async function ask(more) {
    const query = new URLSearchParams({ stream: stream.value, attempt: attempt.value });
    for (const name in more) query.set(name, String(more[name]));
    const answer = await fetch(`${root.dataset.src}?${query}`, { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(20_000) });
    if (!answer.ok) throw answer.status;
    return answer.json();
  }

  /** Puts the blocks in sight there, and takes the others away. */
  function render() {
    const [from, until] = [lines.scrollTop - AROUND, lines.scrollTop + lines.clientHeight + AROUND];
    let [n, y] = [0, 0];
    while (n < blocks() - 1 && y + high(n) < from) y += high(n++);
    const first = n;
    top.style.height = `${y}px`;
    /** @type {Node | null} */
    let next = inner.firstChild;
    for (; n < blocks() && y < until; y += high(n++)) {
      let block = shown.get(n);
      if (!block) {
        shown.set(n, block = document.createElement('div'));
        fill(n);
      }
      if (next === block) next = next.nextSibling;
      else inner.insertBefore(block, next);
    }
    for (const [own, block] of shown) if (own < first || own >= n) { block.remove(); shown.delete(own); }
    for (y = 0; n < blocks(); n += 1) y += high(n);
    bottom.style.height = `${y}px`;
  }

  /** @param {number} n */
  function fill(n) {
    const block = shown.get(n), html = known.get(n);
    if (!block) return;
    if (html === undefined) {
      block.style.height = `${high(n)}px`;
      load(n);
      return;
    }
    const old = high(n), before = block.isConnected && block.offsetTop + old < lines.scrollTop;
    block.style.height = '';
    block.innerHTML = html;
    mark(block);
    requestAnimationFrame(() => {
      if (shown.get(n) !== block || !block.isConnected) return;
      const now = block.offsetHeight;
      heights.set(n, now);
      if (size(n) > 20 && !block.querySelector('.la')) each = now / size(n);
      if (now !== old) render();
      if (now !== old && before && !follow && !wanted) lines.scrollTop += now - old;
      hold();
    });
  }

  /** @param {number} n */
  async function load(n) {
    if (asked.has(n)) return;
    // Who scrolls fast passes many that need not come.
    if (asked.size > 2) { setTimeout(() => shown.has(n) && !known.has(n) && load(n), 80); return; }
    asked.add(n);
    const mine = age;
    try {
      const part = await ask({ from: n * BLOCK + 1, count: BLOCK });
      if (mine === age) take(part, n);
    } catch {
      setTimeout(() => mine === age && shown.has(n) && load(n), LOOK);
    }
    if (mine === age) asked.delete(n);
  }

  /** What the server says about the whole, and a block. @param {any} part @param {number} n */
  function take(part, n) {
    // Something in its midst was cut: lines have other numbers now.
    if (part.edition !== edition) forget();
    const changed = Math.min(settled, part.settled, total), grown = part.total !== total || part.bytes !== bytes;
    ({ total, settled, bytes, over, edition } = part);
    if (part.html !== undefined) {
      known.delete(n);
      known.set(n, part.html);
      if (known.size > KEPT) known.delete(known.keys().next().value ?? 0);
    }
    if (grown) {
      // Blocks whose lines were not final, or that had room.
      const is = (/** @type {number} */ own) => (own + 1) * BLOCK > changed;
      for (const own of [...known.keys()]) if (own !== n && is(own)) known.delete(own);
      for (const own of [...heights.keys()]) if (is(own)) heights.delete(own);
      for (const own of shown.keys()) if (own !== n && is(own)) fill(own);
      tell(part);
    }
    render();
    if (part.html !== undefined) fill(n);
    hold();
  }

  /** @param {any} part */
  function tell(part) {
    get('size').textContent = part.size;
    lines.hidden = !total;
    get('none').hidden = total > 0;
    for (const number of part.attempts.slice(attempt.options.length - 1)) attempt.add(new Option(`Attempt ${number}`, number));
    get('attempts').hidden = part.attempts.length < 2;
  }

  /** Stays at the end, or at the line that is wanted. */
  function hold() {
    const row = wanted && known.has(of(wanted)) && shown.get(of(wanted))?.querySelectorAll('.ln')[(wanted - 1) % BLOCK];
    if (row) {
      wanted = 0;
      lines.scrollTop += row.getBoundingClientRect().top - lines.getBoundingClientRect().top - lines.clientHeight * above;
    } else if (follow) {
      lines.scrollTop = end();
    }
    last = lines.scrollTop;
  }

  /** Everything is asked for anew. */
  function forget() {
    age += 1;
    [known, heights, shown, asked] = [new Map(), new Map(), new Map(), new Set()];
    inner.replaceChildren();
  }

  /** Shows a line by its place. @param {number} place */
  function go(place, share = 1 / 3) {
    if (place < 1 || place > total) return;
    following(false);
    [wanted, above] = [place, share];
    let y = ((place - 1) % BLOCK) * each - lines.clientHeight * share;
    for (let n = 0; n < of(place); n += 1) y += high(n);
    room();
    lines.scrollTop = y;
    render();
    hold();
  }

  /** So that one can be where nothing is yet. */
  const room = () => { bottom.style.height = `${total * each}px`; };
  const toEnd = () => { if (over) go(total, .9); else following(true); };

  /** @param {boolean} on */
  function following(on) {
    follow = on;
    get('follow').setAttribute('aria-pressed', String(on));
    if (!on) return;
    room();
    for (wanted = 0; ; render()) {
      lines.scrollTop = end();
      if (last === (last = lines.scrollTop)) break;
    }
  }

  /** Marks the lines of the address, and words that are looked for. @param {ParentNode} [within] */
  function mark(within = inner) {
    for (const row of within.querySelectorAll('.ln')) {
      const number = Number(row.id.slice(1));
      row.classList.toggle('at', number >= marked[0] && number <= marked[1]);
    }
    const lit = /** @type {any} */ (CSS).highlights, ranges = [];
    if (!lit) return;
    const walk = document.createTreeWalker(inner, NodeFilter.SHOW_TEXT);
    for (let node = word && walk.nextNode(); node; node = walk.nextNode()) {
      const text = (node.nodeValue ?? '').toLowerCase();
      if (!node.parentElement?.closest('.tx')) continue;
      for (let from = text.indexOf(word); from >= 0; from = text.indexOf(word, from + word.length)) {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, Math.min(from + word.length, (node.nodeValue ?? '').length));
        ranges.push(range);
      }
    }
    lit.set('found', new (/** @type {any} */ (window)).Highlight(...ranges));
  }

  /** `#L5` or `#L5-L9` */
  async function hash() {
    const [, from, until] = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash) ?? [];
    if (!from) return;
    marked = [Number(from), Number(until ?? from)];
    if (stream.value || attempt.value) {
      stream.value = attempt.value = '';
      await anew();
    }
    mark();
    go(marked[0]);
  }

  async function find() {
    word = field.value.trim().toLowerCase();
    [found, at] = [[], -1];
    mark();
    say.textContent = '';
    const mine = word, here = Math.floor(lines.scrollTop / each) + 1;
    try {
      const part = word ? await ask({ find: word }) : { found: [[], 0] };
      if (mine !== word) return;
      [found, all] = part.found;
      if (word && !found.length) say.textContent = 'none';
    } catch {
      say.textContent = 'no answer';
    }
    for (const id of ['up', 'down']) get(id).hidden = !found.length;
    const next = found.findIndex((place) => place >= here);
    step(next < 0 ? found.length - 1 : next);
  }

  /** @param {number} to */
  function step(to) {
    if (!found.length) return;
    at = (to + found.length) % found.length;
    say.textContent = `${at + 1} of ${all}`;
    go(found[at]);
  }

  /** Asks for the last block, if something in it is new. @param {boolean} [anyway] */
  async function poll(anyway) {
    const n = of(Math.max(1, Math.min(settled + 1, total))), mine = age;
    try {
      const part = await ask({ from: n * BLOCK + 1, count: BLOCK, ...(anyway ? {} : { known: bytes }) });
      if (mine === age) take(part, n);
    } catch { /* The next look tells. */ }
  }

  async function watch() {
    if (!document.hidden && !over && document.getElementById('live')?.dataset.state !== 'paused') await poll();
    if (over) get('follow').hidden = true;
    else setTimeout(watch, LOOK);
  }

  /** Other lines are selected. */
  async function anew() {
    forget();
    [total, settled, bytes, marked] = [0, 0, -1, [0, 0]];
    await poll(true);
  }

  for (const name of ['wrap', 'times']) {
    const box = get(name);
    box.parentElement.hidden = false;
    // A screen without room has none for half a line.
    box.checked = (localStorage.getItem(`log-${name}`) ?? String(name === 'wrap' && innerWidth < 760)) === 'true';
    root.classList.toggle(name, box.checked);
    box.addEventListener('change', () => {
      const edge = lines.getBoundingClientRect().top, stays = follow || lines.scrollTop > end() - 4;
      const row = [...inner.querySelectorAll('.ln')].find((one) => one.getBoundingClientRect().bottom > edge + 4);
      const place = [...shown].flatMap(([n, block]) => [...block.querySelectorAll('.ln')].map((one, k) => (one === row ? n * BLOCK + k + 1 : 0)));
      localStorage.setItem(`log-${name}`, String(box.checked));
      root.classList.toggle(name, box.checked);
      heights = new Map();
      for (const own of shown.keys()) fill(own);
      if (stays) toEnd(); else go(Math.max(...place), 0);
    });
  }

  root.classList.add('alive');
  root.querySelector('.log-parts')?.remove();
  get('show').hidden = true;
  get('follow').hidden = over;
  lines.replaceChildren(top, inner, bottom);
  let drawing = false;
  lines.addEventListener('scroll', () => {
    const y = lines.scrollTop;
    if (follow && y < last - 2 && y < end() - 2) following(false);
    else if (!follow && !over && !wanted && y > last && y >= end() - 4) following(true);
    last = y;
    if (!drawing) { drawing = true; requestAnimationFrame(() => { drawing = false; render(); }); }
  }, { passive: true });
  lines.addEventListener('wheel', () => { wanted = 0; }, { passive: true });
  new ResizeObserver(() => { render(); hold(); }).observe(lines);
  inner.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a.no') : null;
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const number = Number(link.textContent), [a, b] = event.shiftKey && marked[0] ? [marked[0], number].sort((x, y) => x - y) : [number, number];
    marked = [a, b];
    history.replaceState(null, '', a === b ? `#L${a}` : `#L${a}-L${b}`);
    following(false);
    mark();
  });
  addEventListener('hashchange', hash);
  get('form').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    if (field.value.trim().toLowerCase() === word && found.length) step(at + 1); else find();
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  field.addEventListener('input', () => { clearTimeout(later); later = setTimeout(find, 300); });
  field.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter' && event.shiftKey) { event.preventDefault(); step(at - 1); }
  });
  get('up').addEventListener('click', () => step(at - 1));
  get('down').addEventListener('click', () => step(at + 1));
  get('follow').addEventListener('click', () => following(!follow));
  for (const select of [stream, attempt]) {
    select.addEventListener('change', async () => { await anew(); toEnd(); if (word) find(); });
  }

  if (follow) toEnd();
  poll(true).then(() => { hash(); if (field.value) find(); watch(); });
}
