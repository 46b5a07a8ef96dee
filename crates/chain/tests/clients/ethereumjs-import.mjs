// Another implementation executes a file of blocks from its genesis: `ethereumjs-import.mjs GENESIS BLOCKS`. Every
// root in every header is compared on the way; prints the head.
import { readFileSync } from 'node:fs'
import { createBlockFromBytesArray } from '@ethereumjs/block'
import { createBlockchain } from '@ethereumjs/blockchain'
import { createCommonFromGethGenesis, parseGethGenesisState } from '@ethereumjs/common'
import { RLP } from '@ethereumjs/rlp'
import { MerkleStateManager } from '@ethereumjs/statemanager'
import { bytesToHex } from '@ethereumjs/util'
import { createVM, runBlock } from '@ethereumjs/vm'

const [genesisFile, blocksFile] = process.argv.slice(2)
const genesis = JSON.parse(readFileSync(genesisFile, 'utf8'))
// Its own parameters of these forks are the same; taken from a schedule they are put where it does not look.
delete genesis.config.blobSchedule.bpo1
delete genesis.config.blobSchedule.bpo2
const genesisState = parseGethGenesisState(genesis)
// Blobs never come with blocks, so commitments are never opened.
const kzg = { verifyProof () { throw new Error('this chain opens no commitments') } }
const common = createCommonFromGethGenesis(genesis, { chain: 'made', customCrypto: { kzg } })
const stateManager = new MerkleStateManager({ common })
const blockchain = await createBlockchain({
  common, genesisState, validateBlocks: false, validateConsensus: false, hardforkByHeadBlockNumber: true
})
const vm = await createVM({ common, stateManager, blockchain, setHardfork: true })
await stateManager.generateCanonicalGenesis(genesisState)

let root = await stateManager.getStateRoot()
let rest = new Uint8Array(readFileSync(blocksFile))
let head
while (rest.length > 0) {
  const { data, remainder } = RLP.decode(rest, true)
  rest = remainder
  const block = createBlockFromBytesArray(data, {
    common, setHardfork: true, skipConsensusFormatValidation: true
  })
  try {
    // The seal of proof of work is not what is looked at; everything else in the header is.
    await runBlock(vm, { block, root, skipHeaderValidation: true, setHardfork: true })
  } catch (error) {
    console.error(`block ${block.header.number} (${block.common.hardfork()}): ${error.message}`)
    process.exit(1)
  }
  await blockchain.putBlock(block)
  root = block.header.stateRoot
  head = block
}
console.log(JSON.stringify({
  number: Number(head.header.number),
  hash: bytesToHex(head.hash()),
  stateRoot: bytesToHex(await stateManager.getStateRoot()),
  fork: head.common.hardfork()
}))
