// ethers over a WebSocket that breaks: ethers leaves it to the application to connect again, so this one does.
import assert from 'node:assert/strict'
import { Contract, ContractFactory, Wallet, WebSocketProvider } from 'ethers'
import { door, eventually, keys, nobody, till } from './world.mjs'

const way = await door()
const seen = { moves: [], breaks: 0 }
let provider, alice, contract

async function connect(address) {
  provider = new WebSocketProvider(way.url, undefined, { cacheTimeout: -1 })
  provider.websocket.onclose = () => { seen.breaks += 1 }
  provider.websocket.onerror = () => {}
  alice = new Wallet(keys[0], provider)
  if (address === undefined) {
    contract = await (await new ContractFactory(till.abi, till.bytecode, alice).deploy(1000)).waitForDeployment()
  } else {
    contract = new Contract(address, till.abi, alice)
  }
  await contract.on('Moved', (from, to, amount, note) => seen.moves.push([note, amount]))
}

await connect()
const address = await contract.getAddress()
let held = 0n
for (const time of [1, 2, 3]) {
  const note = `connection ${time}`
  await eventually(note, async () => {
    await (await contract.move(nobody, 1, note)).wait()
    held += 1n
    return seen.moves.some(([found]) => found === note)
  })
  assert.equal(await contract.held(nobody), held)
  way.slam()
  await eventually('the break', () => seen.breaks === time)
  await connect(address)
}
assert.equal(await contract.moves(), held)
assert.ok(seen.moves.every(([, amount]) => amount === 1n))
await provider.destroy()
way.close()
console.log('ethers, connecting again: all as expected')
