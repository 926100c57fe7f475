/**
 * `text` broken at spaces into lines of at most `width` characters, the first one after `lead`, the others indented by as
 * many spaces. A word longer than the line stands on a line of its own, unbroken.
 */
export function wrap(text: string, width: number, lead = ''): string[] {
  const indent = ' '.repeat(lead.length);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && lead.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((content, i) => (i === 0 ? lead : indent) + content);
}
