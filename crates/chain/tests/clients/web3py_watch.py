"""web3.py, asynchronous: the same node over HTTP and over a WebSocket with subscriptions."""

import asyncio

from web3 import AsyncWeb3, WebSocketProvider
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription, PendingTxSubscription

from world import ALICE, BOB, CHAIN_ID, HTTP, NOBODY, TILL, WS, equal


async def prepared(w3):
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(ALICE), layer=0)
    w3.eth.default_account = ALICE.address
    equal(await w3.eth.chain_id, CHAIN_ID)
    return w3


async def deployed(w3):
    factory = w3.eth.contract(abi=TILL["abi"], bytecode=TILL["bytecode"])
    receipt = await mined(w3, await factory.constructor(1000).transact())
    return w3.eth.contract(receipt["contractAddress"], abi=TILL["abi"])


async def mined(w3, tx_hash):
    return await w3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.02)


async def over_http():
    w3 = await prepared(AsyncWeb3(AsyncWeb3.AsyncHTTPProvider(HTTP)))
    till = await deployed(w3)
    receipt = await mined(w3, await till.functions.move(BOB.address, 7, "async").transact())
    equal(await till.functions.held(BOB.address).call(), 7)
    (log,) = await till.events.Moved.get_logs(from_block=receipt["blockNumber"])
    equal(log["args"]["note"], "async")
    head = await w3.eth.block_number
    blocks = await asyncio.gather(*(w3.eth.get_block(number) for number in range(head + 1)))
    equal([block["number"] for block in blocks], list(range(head + 1)))
    await w3.provider.disconnect()


async def over_websocket():
    async with AsyncWeb3(WebSocketProvider(WS)) as w3:
        await prepared(w3)
        till = await deployed(w3)
        seen = {"heads": [], "logs": [], "pending": []}
        moved = till.events.Moved()

        async def head(context):
            seen["heads"].append(context.result["number"])

        async def log(context):
            seen["logs"].append(moved.process_log(context.result)["args"]["amount"])

        async def pending(context):
            seen["pending"].append(context.result)

        topics = [moved.topic, None, "0x" + "00" * 12 + BOB.address[2:].lower()]
        ids = await w3.subscription_manager.subscribe([
            NewHeadsSubscription(handler=head),
            LogsSubscription(address=till.address, topics=topics, handler=log),
            PendingTxSubscription(handler=pending),
        ])
        equal(len(set(ids)), 3)
        listening = asyncio.create_task(w3.subscription_manager.handle_subscriptions(run_forever=True))
        hashes, last = [], None
        for to, amount in [(BOB.address, 1), (NOBODY, 2), (BOB.address, 3)]:
            hashes.append(await till.functions.move(to, amount, "").transact())
            last = await mined(w3, hashes[-1])

        async def all_seen():
            while not (
                len(seen["logs"]) >= 2
                and last["blockNumber"] in seen["heads"]
                and all(each in seen["pending"] for each in hashes)
            ):
                assert not listening.done(), listening.exception()
                await asyncio.sleep(0.02)

        try:
            await asyncio.wait_for(all_seen(), 30)
        except TimeoutError:
            raise AssertionError(f"only {seen} for {hashes}") from None
        equal(seen["logs"], [1, 3])
        equal(seen["heads"], sorted(set(seen["heads"])))
        await w3.subscription_manager.unsubscribe_all()
        listening.cancel()


asyncio.run(over_http())
asyncio.run(over_websocket())
print("web3.py, asynchronous: all as expected")
