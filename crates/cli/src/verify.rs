//! `tilth verify`: anybody computes again what somebody was given, and compares.

mod job;
mod receipt;

use tilth_protocol::Problem;

use crate::{
    Ended,
    args::{Common, Verify},
};

pub async fn verify(common: Common, args: Verify) -> Ended {
    let Verify { what, gpu, receipt, model, question, choice } = args;
    match (what, receipt, model) {
        (Some(what), None, _) => job::verify(&common, &what, gpu.into()).await,
        (_, Some(receipt), Some(model)) => {
            let answer = receipt::Answer { receipt, model, question, choice };
            receipt::verify(&common, answer).await
        }
        _ => Err(Problem::new(
            "it is not said what to verify",
            "neither a job nor a receipt with its model is named",
            "write JOB, JOB:RANGE, or --receipt FILE --model FILE",
        )),
    }
}
