"""How long pages take in a browser: first paint, taking over news, scrolling. Figures for people, no judgement."""

import os

from drive import browser, live, person, sign_in

PAGES = ["/", "/jobs", "/runs", "/timeline", "/cluster"] + os.environ.get("MORE", "").split()

with browser() as started, person(started) as page:
    sign_in(page, "/jobs")
    for path in PAGES:
        figures = []
        for _ in range(3):
            page.goto(path)
            page.wait_for_load_state("load")
            page.wait_for_timeout(300)
            figures.append(page.evaluate("""() => {
                const [navigation] = performance.getEntriesByType('navigation');
                const paint = performance.getEntriesByName('first-contentful-paint')[0];
                return [navigation.responseEnd - navigation.requestStart, paint?.startTime ?? 0,
                        navigation.decodedBodySize / 1024, document.querySelectorAll('*').length];
            }"""))
        live(page)
        update = page.evaluate("""async () => {
            const { patch } = await import(document.querySelector('script[type=module]').src.replace('app.js', 'patch.js'));
            const took = [];
            for (let n = 0; n < 3; n++) {
                const text = await (await fetch(location.href, { headers: { accept: 'text/html' } })).text();
                const began = performance.now();
                const fresh = new DOMParser().parseFromString(text, 'text/html');
                patch(document.getElementById('main'), fresh.getElementById('main'));
                document.body.offsetHeight;
                took.push(performance.now() - began);
            }
            return took.sort((a, b) => a - b)[1];
        }""")
        slow = page.evaluate("""() => new Promise((done) => {
            const frames = [];
            let last = performance.now();
            const step = () => {
                const now = performance.now();
                frames.push(now - last);
                last = now;
                window.scrollBy(0, 120);
                frames.length < 90 ? requestAnimationFrame(step) : done([frames.filter((ms) => ms > 50).length, Math.max(...frames.slice(2))]);
            };
            requestAnimationFrame(step);
        })""")
        answer, paint, size, nodes = sorted(figures)[1]
        print(f"{path:<34} answer {answer:6.0f} ms   first paint {paint:6.0f} ms   {size:6.0f} KB   {nodes:6} elements   "
              f"news taken over in {update:5.0f} ms   slow frames {slow[0]} of 90, worst {slow[1]:.0f} ms", flush=True)
