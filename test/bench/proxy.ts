export async function benchProxy(say: (line: string) => void): Promise<void> {
  say('not yet')
}
