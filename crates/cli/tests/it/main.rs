//! The program as people use it: real processes, real chain, real sandbox, real guests.

mod accounts;
mod clients;
mod faults;
mod guests;
mod jobs;
mod net;
mod pictures;
mod refusals;
