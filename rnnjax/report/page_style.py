"""The style sheet of a page: light and dark, from 400 pixels up and on paper, no font or file from outside."""

LIGHT = """--ground: #fbfaf8; --card: #fff; --ink: #1f2328; --quiet: #5c636b; --line: #dcdad5; --alert: #fff4dc;
  --link: #0a58a6;"""
DARK = """--ground: #15181c; --card: #1d2126; --ink: #e8e6e1; --quiet: #a0a7af; --line: #363c44; --alert: #3a3018;
    --link: #7db8ee;"""

CSS = f"""
:root {{
  {LIGHT}
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}}
@media screen and (prefers-color-scheme: dark) {{
  :root {{
    {DARK}
  }}
  figure > picture img {{ filter: invert(.9) hue-rotate(180deg); }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; overflow-wrap: break-word; background: var(--ground); color: var(--ink); }}
main {{ max-width: 1160px; margin: 0 auto; padding: 2rem 1rem 4rem; }}
h1 {{ font-size: clamp(1.2rem, 3vw, 1.65rem); line-height: 1.3; margin: 0 0 1.5rem; text-wrap: pretty; }}
h2 {{ font-size: 1.25rem; margin: 2.75rem 0 .25rem; }}
h3 {{ font-size: 1rem; margin: 1.25rem 0 .25rem; }}
p {{ margin: .25rem 0 .75rem; max-width: 75ch; }}
a {{ color: var(--link); }}
code {{ font-family: ui-monospace, monospace; font-size: .95em; overflow-wrap: anywhere; }}
.kicker, .reading, .note, .hint, .source {{ color: var(--quiet); }}
.note {{ font-size: .85rem; max-width: 95ch; }}
.source {{ font-size: .78rem; max-width: none; margin: .35rem 0 0; }}
nav ul {{ list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.5rem 0 0; padding: 0; }}
figure {{ margin: 1rem 0 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; }}
figure img {{ display: block; width: 100%; height: auto; padding: .5rem; background: #fff; }}
figcaption {{ padding: .8rem 1rem; border-top: 1px solid var(--line); }}
figcaption ul {{ list-style: none; margin: 0; padding: 0; }}
figcaption li {{ padding: .15rem 0 .15rem 1.3rem; position: relative; }}
figcaption li::before {{ content: ""; position: absolute; left: 0; top: .58em; width: .8rem; height: .8rem;
  border-radius: 3px; background: var(--mark); }}
figcaption b {{ margin-right: .3em; }}
.still {{ display: none; }}
.live {{ padding: .6rem .5rem;
  --bk-text-color: var(--ink); --bk-axis-label-text-color: var(--quiet); --bk-major-label-text-color: var(--quiet);
  --bk-label-text-color: var(--ink); }}
.hint {{ font-size: .85rem; max-width: none; margin: 0 .5rem .4rem; }}
.parts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: .5rem; }}
.parts.pairs {{ grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }}
.parts > div {{ min-width: 0; }}
.scroll {{ overflow-x: auto; margin-top: 1.5rem; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }}
th, td {{ padding: .45rem .4rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }}
th:first-child {{ text-align: left; position: sticky; left: 0; background: var(--ground); min-width: 7rem; }}
thead th {{ vertical-align: bottom; font-weight: 500; color: var(--quiet); line-height: 1.25; }}
td small, th small {{ display: block; color: var(--quiet); font-weight: 400; white-space: nowrap; }}
aside {{ background: var(--alert); border-radius: 8px; padding: .75rem 1rem; margin-bottom: 1.5rem; }}
aside h2 {{ margin: 0; font-size: 1rem; }}
aside ul {{ margin: .25rem 0 0; padding-left: 1.2rem; }}
dl {{ display: grid; grid-template-columns: minmax(7rem, max-content) 1fr;
  gap: .1rem 1rem; margin: 0; font-size: .9rem; }}
dt {{ color: var(--quiet); }}
.verdicts {{ font-size: 1rem; margin-bottom: 1.5rem; }}
.verdicts dd {{ font-family: inherit; }}
.verdicts dt {{ font-weight: 600; color: var(--ink); }}
dd {{ margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }}
@page {{ margin: 14mm; }}
@media print {{
  :root {{ font-size: 11px; }}
  main {{ max-width: none; padding: 0; }}
  .live, nav {{ display: none; }}
  .still {{ display: block; }}
  p, .note {{ max-width: none; }}
  section, figure, aside, tr {{ break-inside: avoid; }}
  figcaption li::before {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  .scroll {{ overflow: visible; }}
  td small, th small {{ white-space: normal; }}
}}
"""
