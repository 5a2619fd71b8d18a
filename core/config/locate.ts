import { type EncodedSourceMap, originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { type AnyNode, parse } from 'acorn'

/** A place in one of the user's own files. Line and column count from 1. */
export interface Position {
  file: string
  line: number
  column: number
}

/** Where the things of a config stand: reads the bundle's syntax tree, answers in the user's files. */
export interface Locator {
  /** The place in the user's files of a place in the bundle; both count from 1. */
  original(line: number, column: number): Position | undefined
  /** The call that is being carried out at this place of the bundle. */
  call(line: number, column: number): Call | undefined
  /** Where this key of the config stands, or what is nearest around it. */
  key(path: readonly PropertyKey[]): Position | undefined
  /** What the bundle imports, by name. */
  imports(): { url: string; name: string; position: Position | undefined }[]
  /** Where the module waits first, or the function that makes the config. */
  firstAwait(of: 'module' | 'function'): Position | undefined
}

export interface Call {
  /** The name that is called, of `hub.env(…)` the last part. */
  name: string
  position: Position | undefined
  /** Its place in the config: `['authenticators', 0]`; undefined when the config does not hold it. */
  path: PropertyKey[] | undefined
  /** Where this key of its first argument stands, or what is nearest around it. */
  key(path: readonly PropertyKey[]): Position | undefined
}

/** `file` says which file a source of the map is. */
export function locator(code: string, map: EncodedSourceMap, file: (source: string) => string): Locator {
  const program: AnyNode = parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true })
  const trace = new TraceMap(map)
  const bindings = new Map<string, AnyNode[]>()
  const imported = new Map<string, string>()
  const calls: (AnyNode & { type: 'CallExpression' })[] = []
  let root: AnyNode | undefined

  for (const node of descendants(program)) {
    if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && node.init) bind(node.id.name, node.init)
    if (node.type === 'FunctionDeclaration' && node.id) bind(node.id.name, node)
    if (node.type === 'ImportSpecifier') imported.set(node.local.name, nameOf(node.imported) ?? '')
    if (node.type === 'CallExpression') calls.push(node)
    if (node.type === 'ExportSpecifier' && nameOf(node.exported) === 'default') root = node.local
  }
  if (root?.type === 'Identifier') root = bindings.get(root.name)?.[0] ?? root

  return {
    original,
    call(line, column) {
      const at = { line, column: column - 1 }
      const found = calls.filter(node => holds(node.callee, at)).sort((a, b) => span(a.callee) - span(b.callee))[0]
      return (
        found && {
          name: calleeOf(found),
          position: original(line, column),
          path: pathTo(found),
          key: path => startOf(found.arguments[0] && path.length > 0 ? find(found.arguments[0], path).at : found),
        }
      )
    },
    key: path => root && startOf(find(root, path).at),
    imports: () =>
      program.type !== 'Program'
        ? []
        : program.body.flatMap(statement =>
            statement.type !== 'ImportDeclaration'
              ? []
              : (statement.specifiers.length === 0 ? [statement] : statement.specifiers).map(node => ({
                  url: String(statement.source.value),
                  name:
                    node.type === 'ImportSpecifier'
                      ? (nameOf(node.imported) ?? '*')
                      : node.type === 'ImportDefaultSpecifier'
                        ? 'default'
                        : '*',
                  position: startOf(node),
                })),
          ),
    firstAwait(of) {
      for (const node of of === 'module' || !root ? descendants(program, isFunction) : descendants(root)) {
        if (node.type === 'AwaitExpression') return startOf(node)
      }
      return root && startOf(root)
    },
  }

  function bind(name: string, node: AnyNode) {
    bindings.set(name, [...(bindings.get(name) ?? []), node])
  }

  function original(line: number, column: number): Position | undefined {
    const found = originalPositionFor(trace, { line, column: column - 1 })
    return found.source === null ? undefined : { file: file(found.source), line: found.line, column: found.column + 1 }
  }

  function startOf(node: AnyNode): Position | undefined {
    return node.loc ? original(node.loc.start.line, node.loc.start.column + 1) : undefined
  }

  function calleeOf(node: AnyNode & { type: 'CallExpression' }): string {
    const { callee } = node
    if (callee.type === 'Identifier') return imported.get(callee.name) ?? callee.name
    return (callee.type === 'MemberExpression' && nameOf(callee.property)) || ''
  }

  /** The literals that an expression may stand for: through names, branches, and calls of the config's own functions. */
  function* values(node: AnyNode, seen = new Set<AnyNode>()): Generator<AnyNode> {
    if (seen.has(node)) return
    seen.add(node)
    if (node.type === 'Identifier') for (const value of bindings.get(node.name) ?? []) yield* values(value, seen)
    else if (node.type === 'ConditionalExpression') yield* [...values(node.consequent, seen), ...values(node.alternate, seen)]
    else if (node.type === 'LogicalExpression') yield* [...values(node.left, seen), ...values(node.right, seen)]
    else if (node.type === 'AwaitExpression') yield* values(node.argument, seen)
    else if (isFunction(node)) {
      if (node.body.type !== 'BlockStatement') yield* values(node.body, seen)
      else
        for (const inner of descendants(node.body, isFunction))
          if (inner.type === 'ReturnStatement' && inner.argument) yield* values(inner.argument, seen)
    } else if (node.type === 'CallExpression') {
      const meant = calleeOf(node) === 'defineConfig' ? node.arguments[0] : node.callee
      if (meant && (meant !== node.callee || meant.type !== 'MemberExpression')) yield* values(meant, seen)
    } else yield node
  }

  /** What stands at this path below a node; when the path ends early, the last that was found. */
  function find(node: AnyNode, path: readonly PropertyKey[]): { at: AnyNode; depth: number } {
    const [head, ...rest] = path
    let best = { at: node, depth: 0 }
    if (head === undefined) return best
    for (const value of values(node)) {
      for (const member of members(value, head)) {
        const deeper = find(member.value, rest)
        if (deeper.depth + 1 > best.depth) best = { at: deeper.depth > 0 ? deeper.at : member.at, depth: deeper.depth + 1 }
      }
    }
    return best
  }

  function* members(node: AnyNode, key: PropertyKey): Generator<{ at: AnyNode; value: AnyNode }> {
    if (node.type === 'ArrayExpression') {
      const element = elements(node)[Number(key)]
      if (element) yield { at: element, value: element }
    } else if (node.type === 'ObjectExpression') {
      // Of two keys of one name the last counts.
      for (const property of [...node.properties].reverse()) {
        if (property.type === 'SpreadElement') for (const value of values(property.argument)) yield* members(value, key)
        else if (!property.computed && nameOf(property.key) === String(key)) yield { at: property.key, value: property.value }
      }
    }
  }

  /** The elements of a list up to the first whose place is not known. */
  function elements(list: AnyNode & { type: 'ArrayExpression' }): (AnyNode | null)[] {
    const known: (AnyNode | null)[] = []
    for (const element of list.elements) {
      if (element?.type !== 'SpreadElement') known.push(element)
      else {
        const [spread, other] = [...values(element.argument)]
        if (spread?.type !== 'ArrayExpression' || other) break
        known.push(...elements(spread))
      }
    }
    return known
  }

  /** The path of the config whose value holds this call. */
  function pathTo(call: AnyNode): PropertyKey[] | undefined {
    const seen = new Set<AnyNode>()
    const visit = (node: AnyNode, path: PropertyKey[]): PropertyKey[] | undefined => {
      if (node === call) return path
      if (seen.has(node)) return undefined
      seen.add(node)
      for (const [child, key] of branches(node)) {
        const found = visit(child, key === undefined ? path : [...path, key])
        if (found) return found
      }
      return undefined
    }
    return root && visit(root, [])
  }

  function branches(node: AnyNode): [AnyNode, PropertyKey?][] {
    if (node.type === 'Identifier') return (bindings.get(node.name) ?? []).map(value => [value])
    if (node.type === 'MemberExpression') return [[node.object]]
    if (node.type === 'ObjectExpression')
      return node.properties.map(property =>
        property.type === 'SpreadElement'
          ? [property.argument]
          : [property.value, property.computed ? undefined : nameOf(property.key)],
      )
    if (node.type === 'ArrayExpression') return elements(node).flatMap((element, index) => (element ? [[element, index]] : []))
    return children(node).map(child => [child])
  }
}

const isNode = (value: unknown): value is AnyNode =>
  typeof value === 'object' && value !== null && 'type' in value && 'start' in value

const isFunction = (node: AnyNode) =>
  node.type === 'ArrowFunctionExpression' || node.type === 'FunctionExpression' || node.type === 'FunctionDeclaration'

const children = (node: AnyNode) => Object.values(node).flat().filter(isNode)

/** In the order of the text, without what is inside of the nodes that are left out. */
function* descendants(node: AnyNode, without: (node: AnyNode) => boolean = () => false): Generator<AnyNode> {
  for (const child of children(node)) {
    yield child
    if (!without(child)) yield* descendants(child, without)
  }
}

function nameOf(key: AnyNode): string | undefined {
  return key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : undefined
}

function holds(node: AnyNode, at: { line: number; column: number }): boolean {
  const { start, end } = node.loc!
  return (
    (start.line < at.line || (start.line === at.line && start.column <= at.column)) &&
    (at.line < end.line || (at.line === end.line && at.column < end.column))
  )
}

const span = (node: AnyNode) => node.end - node.start
