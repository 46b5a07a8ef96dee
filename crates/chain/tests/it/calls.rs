use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::{
        TransactionRequest,
        state::{AccountOverride, StateOverride},
    },
};
use tilth_chain::{Clock, Config};

use crate::fixture::{client, config, deploying, fortune, register, signer, start, words};

#[tokio::test]
async fn estimates_are_enough_and_not_much_more() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let plain = TransactionRequest::default()
        .with_from(signer(0).address())
        .with_to(Address::repeat_byte(0x11))
        .with_value(U256::from(1));
    assert_eq!(provider.estimate_gas(plain).await.unwrap(), 21_000);
    let deploy = TransactionRequest::default().with_deploy_code(deploying(&register()));
    let estimate = provider.estimate_gas(deploy.clone()).await.unwrap();
    let sent = provider.send_transaction(deploy.with_gas_limit(estimate)).await.unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    assert!(receipt.status());
    assert!(estimate * 1000 <= receipt.gas_used * 1030, "{estimate} for {}", receipt.gas_used);
    let contract = receipt.contract_address.unwrap();
    let store = TransactionRequest::default().with_to(contract).with_input(words(&[1, 2]));
    let estimate = provider.estimate_gas(store.clone()).await.unwrap();
    let sent = provider.send_transaction(store.with_gas_limit(estimate)).await.unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    assert!(receipt.status());
    assert!(estimate * 1000 <= receipt.gas_used * 1030, "{estimate} for {}", receipt.gas_used);
}

#[tokio::test]
async fn calls_see_balances_overrides_and_the_right_block() {
    let clock = Clock::manual(1_800_000_000);
    let chain = start(Config { clock: clock.clone(), ..config() }).await;
    let provider = client(&chain);
    // timestamp() and number() as one answer.
    let code: Bytes =
        vec![0x42, 0x60, 0x00, 0x52, 0x43, 0x60, 0x20, 0x52, 0x60, 0x40, 0x60, 0x00, 0xf3].into();
    let at = Address::repeat_byte(0x5a);
    let request = TransactionRequest::default().with_to(at);
    let overrides = || {
        let account = AccountOverride::default().with_code(code.clone());
        StateOverride::from_iter([(at, account)])
    };
    let last = BlockNumberOrTag::Latest;
    let latest =
        provider.call(request.clone()).overrides(overrides()).block(last.into()).await.unwrap();
    assert_eq!(latest, words(&[1_700_000_000, 0]));
    let pending = provider.call(request.clone()).overrides(overrides()).pending().await.unwrap();
    assert_eq!(pending, words(&[1_800_000_000, 1]));
    assert!(clock.advance(60));
    let mined = chain.mine().await.unwrap();
    assert_eq!(mined.timestamp, 1_800_000_060);
    let then = BlockNumberOrTag::Number(0);
    let historic = provider.call(request).overrides(overrides()).block(then.into()).await.unwrap();
    assert_eq!(historic, words(&[1_700_000_000, 0]));

    let poor = Address::repeat_byte(0x5b);
    let too_much =
        TransactionRequest::default().with_from(poor).with_to(Address::ZERO).with_value(fortune());
    let error = provider.call(too_much).await.unwrap_err();
    let payload = error.as_error_resp().unwrap();
    assert_eq!(payload.code, -32000);
    assert!(payload.message.contains("insufficient funds for gas * price + value"), "{payload}");
}

#[tokio::test]
async fn endless_calls_end_by_gas() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let at = Address::repeat_byte(0x5c);
    let endless: Bytes = vec![0x5b, 0x60, 0x00, 0x56].into();
    let account = AccountOverride::default().with_code(endless);
    let request = TransactionRequest::default().with_to(at);
    let overrides = StateOverride::from_iter([(at, account)]);
    let error = provider.call(request).overrides(overrides).await.unwrap_err();
    assert_eq!(error.as_error_resp().unwrap().message, "out of gas");
}

#[tokio::test]
async fn fees_are_suggested_and_remembered() {
    let chain = start(config()).await;
    let provider = client(&chain);
    for _ in 0..5 {
        let request = TransactionRequest::default()
            .with_to(Address::repeat_byte(1))
            .with_max_priority_fee_per_gas(2_000_000_000)
            .with_max_fee_per_gas(5_000_000_000);
        provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    }
    assert_eq!(provider.get_max_priority_fee_per_gas().await.unwrap(), 2_000_000_000);
    let history =
        provider.get_fee_history(3, BlockNumberOrTag::Latest, &[10.0, 90.0]).await.unwrap();
    assert_eq!(history.oldest_block, 3);
    assert_eq!(history.base_fee_per_gas.len(), 4);
    assert_eq!(history.reward, Some(vec![vec![2_000_000_000; 2]; 3]));
    // As in geth on the base fee of the head, which is falling here.
    let of_head = history.base_fee_per_gas[2];
    assert_eq!(provider.get_gas_price().await.unwrap(), of_head + 2_000_000_000);
    let wrong = provider.get_fee_history(3, BlockNumberOrTag::Latest, &[90.0, 10.0]).await;
    assert!(wrong.unwrap_err().to_string().contains("invalid reward percentile"));
}

#[tokio::test]
async fn batches_unknown_methods_and_nonsense_are_answered() {
    let chain = start(config()).await;
    let http = reqwest_client();
    let post = |body: &'static str| {
        let request = http.post(chain.rpc_url()).header("content-type", "application/json");
        async move { request.body(body).send().await.unwrap().text().await.unwrap() }
    };
    let batch = post(
        r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},
            {"jsonrpc":"2.0","id":2,"method":"net_version","params":[]},
            {"jsonrpc":"2.0","id":3,"method":"eth_nothing","params":[]}]"#,
    )
    .await;
    assert!(batch.contains(r#""result":"0x1cbd""#), "{batch}");
    assert!(batch.contains(r#""result":"7357""#), "{batch}");
    assert!(batch.contains("-32601"), "{batch}");
    let missing = post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#).await;
    assert!(missing.contains("missing value for required argument 0"), "{missing}");
    assert!(missing.contains("-32602"), "{missing}");
    let wrong =
        post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#).await;
    assert!(wrong.contains("invalid argument 0"), "{wrong}");
    let garbage =
        post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xc0ffee"]}"#)
            .await;
    assert!(garbage.contains("-32000"), "{garbage}");
    // Pages served by this machine may ask, pages from elsewhere may not.
    for (origin, allowed) in [("http://localhost:5173", true), ("http://wallet.example", false)] {
        let preflight = http
            .request(reqwest::Method::OPTIONS, chain.rpc_url())
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .send()
            .await
            .unwrap();
        let answered = preflight.headers().get("access-control-allow-origin");
        assert_eq!(
            answered.is_some_and(|value| value == origin),
            allowed,
            "{origin}: {answered:?}"
        );
    }
}

fn reqwest_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
