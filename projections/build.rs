//! Migrations are embedded: a change to them must build this crate anew.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
