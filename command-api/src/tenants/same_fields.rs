//! Conversions between types of the API and of the domain that have the same fields.

/// Implements `From` for two types with the same fields, in one direction (`A => B { … }`) or in both (`A, B { … }`). A list
/// without one of the fields doesn't compile.
macro_rules! same_fields {
    ($from:ident => $to:ident { $($field:ident),+ $(,)? }) => {
        impl From<$from> for $to {
            fn from($from { $($field),+ }: $from) -> Self {
                Self { $($field),+ }
            }
        }
    };
    ($one:ident, $other:ident { $($field:ident),+ $(,)? }) => {
        same_fields!($one => $other { $($field),+ });
        same_fields!($other => $one { $($field),+ });
    };
}

pub(super) use same_fields;
