// viem's clients for the node: reading, and writing as two accounts.
import { createPublicClient, createWalletClient, defineChain, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import * as world from './world.mjs'

export const chain = defineChain({
  id: world.chainId,
  name: 'tilth',
  nativeCurrency: { name: 'GRAIN', symbol: 'GRAIN', decimals: 18 },
  rpcUrls: { default: { http: [world.http], webSocket: [world.ws] } },
})
const options = { chain, transport: http(), pollingInterval: 20 }
export const reader = createPublicClient(options)
export const [alice, bob] = world.keys.map((key) => privateKeyToAccount(key))
export const [asAlice, asBob] = [alice, bob].map((account) => createWalletClient({ ...options, account }))

/** Deploys the till with 1000 in alice's hands. */
export async function deployTill() {
  const hash = await asAlice.deployContract({ ...world.till, args: [1000n] })
  const receipt = await reader.waitForTransactionReceipt({ hash })
  return { abi: world.till.abi, address: receipt.contractAddress, receipt }
}
