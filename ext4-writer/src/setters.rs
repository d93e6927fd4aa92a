//! Setters of public fields: types that may get more fields cannot be written out by callers.

/// Gives a type a method for each of some fields that returns it with the field set.
macro_rules! setters {
    ($type:ty: $($field:ident: $value:ty),+ $(,)?) => {
        impl $type {
            $(
                #[doc = concat!("The same with another [`", stringify!($type), "::", stringify!($field), "`].")]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

pub(crate) use setters;
