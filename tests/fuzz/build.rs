//! Puts the vectors into the corpus, where libFuzzer begins.

#[path = "src/seeds.rs"]
mod seeds;

use std::path::Path;

fn main() -> Result<(), seeds::SeedError> {
    println!("cargo::rerun-if-changed=../vectors/ike");
    seeds::write(Path::new("../vectors/ike"), Path::new("corpus/wire"))
}
