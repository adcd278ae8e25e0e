//! OpenTSDB's line protocol and its JSON.
//!
//! `telnet` and `put_json` decode writes, each point straight into the batch; `point` holds the rules
//! that both obey, `number` the spelling of values, `name` that of names, `gate` what they ask about
//! series. `json` reads texts, `query_json` and `exp_json` write answers.

pub mod exp_json;
pub mod gate;
pub mod histogram;
pub mod json;
pub mod name;
pub mod number;
pub mod point;
pub mod put_json;
pub mod query_json;
pub mod special_json;
pub mod special_line;
pub mod telnet;
