//! Crypto backends against their known answers, against larger sets, and against each other.

mod agreement;
mod inventory;
mod known_answers;
mod ledger;
mod lengths;
mod openssl;
mod published;
mod shelf;
mod signatures;
mod zeroize;
