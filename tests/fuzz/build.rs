//! Puts the vectors and scripts into the corpus, where libFuzzer begins.

#[path = "src/seeds.rs"]
mod seeds;

use std::path::Path;

fn main() -> Result<(), seeds::SeedError> {
    println!("cargo::rerun-if-changed=../vectors/ike");
    println!("cargo::rerun-if-changed=../vectors/pkits");
    println!("cargo::rerun-if-changed=src/seeds.rs");
    seeds::write_scripts(&seeds::chains(Path::new("../vectors/pkits"))?, Path::new("corpus/certificate"))?;
    seeds::write_scripts(&seeds::endpoint_scripts(), Path::new("corpus/endpoint"))?;
    seeds::write_scripts(&seeds::eap_scripts(), Path::new("corpus/eap"))?;
    seeds::write_scripts(&seeds::esp_scripts(), Path::new("corpus/esp"))?;
    seeds::write(Path::new("../vectors/ike"), Path::new("corpus/wire"))
}
