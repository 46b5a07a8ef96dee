// What every script of a JavaScript client works with: the node's address, keys that own coins, the contract.
import { readFileSync } from 'node:fs'

export const http = process.env.HTTP
export const ws = process.env.WS
export const chainId = Number(process.env.CHAIN_ID)
export const keys = process.env.KEYS.split(',')
export const till = JSON.parse(readFileSync(new URL('till.json', import.meta.url)))
export const nobody = '0x000000000000000000000000000000000000bEEF'

/** Waits until `ready` gives something true; a wait that takes too long is a failure. */
export async function eventually(what, ready, seconds = 30) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const found = await ready()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${seconds} s`)
    await new Promise((next) => setTimeout(next, 20))
  }
}

/** The error that `promise` must end with. */
export async function refusal(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`succeeded instead of failing: ${value}`)
}
