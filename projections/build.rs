//! Migrations are embedded: a change to them must build this crate again.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
