//! Crypto backends against their known answers, against larger sets, and against each other.

mod agreement;
mod known_answers;
mod lengths;
mod openssl;
mod shelf;
mod signatures;
mod zeroize;
