//! A release embeds the built console, so it is compiled again when that changes. Other builds read the files when they run.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo:rerun-if-changed={}", if is_release { "dist" } else { "build.rs" });
}
