import { relative } from 'node:path';
import ts from 'typescript';

/** The exported declarations of an entry of the package, by their public names; those of a namespace with its name in front. */
export type PublicNames = ReadonlyMap<string, ts.Symbol>;

/** Reads built declarations as a consumer's compiler does: without the DOM, without Node. */
export class PublicTypes {
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;
  readonly #root: string;

  /** `files`: declaration files of entries; `root`: the folder that holds all that is the package's own. */
  constructor(files: readonly string[], root: string) {
    this.#program = ts.createProgram(files, {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts'],
      types: [],
      module: ts.ModuleKind.NodeNext,
      strict: true,
      exactOptionalPropertyTypes: true,
    });
    this.#checker = this.#program.getTypeChecker();
    this.#root = root;
  }

  /** What its compiler complains about. */
  get errors(): string[] {
    return ts
      .getPreEmitDiagnostics(this.#program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  }

  /** Files that all of it needs, beside the language's own library. */
  get files(): string[] {
    const files = this.#program.getSourceFiles().map(({ fileName }) => fileName);
    return files.filter((file) => !/\/lib\.[\w.]+\.d\.ts$/.test(file)).map((file) => relative(this.#root, file));
  }

  namesOf(file: string): PublicNames {
    const module = this.#checker.getSymbolAtLocation(this.#program.getSourceFile(file)!)!;
    const names = new Map<string, ts.Symbol>();
    const add = (prefix: string, from: ts.Symbol) => {
      for (const each of this.#checker.getExportsOfModule(from)) {
        const symbol = this.#resolve(each);
        names.set(prefix + each.name, symbol);
        if (symbol.flags & ts.SymbolFlags.ValueModule) add(`${prefix}${each.name}.`, symbol);
      }
    };
    add('', module);
    return names;
  }

  /** Declarations of the package that public ones refer to and that have no public name: `where -> what`. */
  nameless(names: PublicNames): string[] {
    const known = new Set(names.values());
    const found = new Set<string>();
    const seen = new Set<ts.Symbol>();
    const visit = (symbol: ts.Symbol, where: string) => {
      if (seen.has(symbol)) return;
      seen.add(symbol);
      for (const declaration of symbol.declarations ?? []) {
        if (ts.isSourceFile(declaration)) continue;
        this.#eachReference(declaration, (to) => {
          if (!this.#isExported(to)) visit(to, where);
          else if (!known.has(to)) found.add(`${where} -> ${to.name}`);
        });
      }
    };
    for (const [name, symbol] of names) visit(symbol, name);
    return [...found].sort();
  }

  /** Each declaration of the package's own that `node` refers to. */
  #eachReference(node: ts.Node, visit: (symbol: ts.Symbol) => void): void {
    if (ts.isIdentifier(node)) {
      const symbol = this.#checker.getSymbolAtLocation(node);
      if (symbol) {
        const resolved = this.#resolve(symbol);
        if (resolved.declarations?.some((each) => this.#isOwn(each))) visit(resolved);
      }
    }
    node.forEachChild((child) => this.#eachReference(child, visit));
  }

  #resolve(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol;
  }

  /** Whether it is declared at the top of one of the package's files. */
  #isOwn(declaration: ts.Declaration): boolean {
    const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    return (
      ts.isSourceFile(statement.parent ?? declaration) && declaration.getSourceFile().fileName.startsWith(this.#root)
    );
  }

  #isExported(symbol: ts.Symbol): boolean {
    return symbol.declarations!.some((declaration) => {
      const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
      return (
        ts.canHaveModifiers(statement) &&
        ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
      );
    });
  }
}
