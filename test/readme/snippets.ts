/** A fenced code block of a Markdown text. */
export interface Snippet {
  /** What stands behind the opening fence: `ts`, `sh`, … */
  readonly language: string;
  /** The text between the fences, ended by a newline. */
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
}

/** All fenced blocks of `markdown`, in order. Throws for one that is not closed. */
export function snippetsOf(markdown: string): Snippet[] {
  const found: Snippet[] = [];
  let open: { fence: string; language: string; line: number; body: string[] } | undefined;
  markdown.split('\n').forEach((text, index) => {
    const [, fence, info] = /^\s*(`{3,}|~{3,})\s*(.*)$/.exec(text) ?? [];
    if (open && fence?.startsWith(open.fence) && info === '') {
      const { language, line, body } = open;
      found.push({ language, line, text: body.map((each) => `${each}\n`).join('') });
      open = undefined;
    } else if (open) {
      open.body.push(text);
    } else if (fence !== undefined) {
      open = { fence, language: info.trim().split(/\s+/)[0], line: index + 1, body: [] };
    }
  });
  if (open) throw new Error(`line ${open.line}: the code block is not closed`);
  return found;
}

/** The commands of a shell snippet: its lines, those that end in a backslash joined, without comments and prompts. */
export function commandsOf({ text }: Snippet): string[] {
  return text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/^\$ /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
