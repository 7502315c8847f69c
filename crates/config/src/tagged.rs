//! Registry enums: one line per member, told apart by the key `type`.

/// Declares an enum whose variants are told apart by the key `type` and read without buffering.
///
/// serde's own internally tagged enums buffer the table and so lose the place of an error inside it. The enum made here
/// reads `type` first and hands the rest of the table to the member's own `Deserialize`, so an unknown or ill-typed key
/// is reported at its own line. The enum also describes itself as a JSON Schema: one table a member. `type` must come first; [`Document`](crate::Document) moves it there.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// pub struct Circle { radius: f64 }
///
/// vqkit_config::tagged! {
///     /// A shape.
///     pub enum Shape {
///         /// Round.
///         "circle" => Circle(Circle),
///     }
/// }
///
/// assert_eq!(Shape::TYPES, ["circle"]);
/// let shape: Shape = serde_json::from_str(r#"{"type": "circle", "radius": 1.0}"#)?;
/// assert_eq!(shape.type_name(), "circle");
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// With a line `fn member -> dyn TRAIT;` after the enum, the enum has a method `member` that gives whichever member there is as
/// that trait, so that a new member stays one line here and one `impl` in its own file:
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
/// # pub struct Circle { radius: f64 }
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
/// # pub struct Square { side: f64 }
/// trait Area {
///     fn area(&self) -> f64;
/// }
///
/// impl Area for Circle {
///     fn area(&self) -> f64 { 3.0 * self.radius * self.radius }
/// }
///
/// impl Area for Square {
///     fn area(&self) -> f64 { self.side * self.side }
/// }
///
/// vqkit_config::tagged! {
///     /// A shape.
///     pub enum Shape {
///         /// Round.
///         "circle" => Circle(Circle),
///         /// Not round.
///         "square" => Square(Square),
///     }
///     fn member -> dyn Area;
/// }
///
/// assert_eq!(Shape::Square(Square { side: 2.0 }).member().area(), 4.0);
/// ```
#[macro_export]
macro_rules! tagged {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $tag:literal => $variant:ident($config:ty)),+ $(,)?
    } $member:vis fn member -> dyn $behaviour:path;) => {
        $crate::tagged! { $(#[$meta])* $vis enum $name { $($(#[$doc])* $tag => $variant($config)),+ } }

        impl $name {
            /// The member's settings.
            $member fn member(&self) -> &dyn $behaviour {
                match self { $(Self::$variant(config) => config),+ }
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $tag:literal => $variant:ident($config:ty)),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, $crate::serde::Serialize, $crate::schemars::JsonSchema)]
        #[serde(crate = "vqkit_config::serde", tag = "type")]
        #[schemars(crate = "vqkit_config::schemars")]
        $vis enum $name {
            $($(#[$doc])* #[serde(rename = $tag)] $variant($config)),+
        }

        impl $name {
            /// The values that the key `type` takes.
            pub const TYPES: &'static [&'static str] = &[$($tag),+];

            /// The value of the key `type` of this member.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $tag),+ }
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Table;
                impl<'de> $crate::serde::de::Visitor<'de> for Table {
                    type Value = $name;

                    fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
                        write!(out, "a table with the key `type`, one of {:?}", $name::TYPES)
                    }

                    fn visit_map<A: $crate::serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use $crate::serde::de::{Deserialize, Error, value::MapAccessDeserializer};
                        match map.next_key::<String>()?.as_deref() {
                            Some("type") => {}
                            _ => return Err(A::Error::custom(format!(
                                "missing key `type` (at the head of the table), one of {:?}", $name::TYPES
                            ))),
                        }
                        match map.next_value::<$crate::Tag<$name>>()?.0 {
                            $($tag => <$config>::deserialize(MapAccessDeserializer::new(map)).map($name::$variant),)+
                            _ => unreachable!("Tag admits no other value"),
                        }
                    }
                }
                deserializer.deserialize_map(Table)
            }
        }

        impl $crate::Registry for $name {
            const TYPES: &'static [&'static str] = $name::TYPES;
        }
    };
}

/// An enum made by [`tagged!`](crate::tagged).
pub trait Registry {
    /// The values that its key `type` takes.
    const TYPES: &'static [&'static str];
}

/// A value of the key `type` that is known to be one of `R`'s; an unknown one is an error at its own place.
pub struct Tag<R>(
    /// The value.
    pub &'static str,
    std::marker::PhantomData<R>,
);

impl<'de, R: Registry> serde::Deserialize<'de> for Tag<R> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        match R::TYPES.iter().find(|tag| **tag == found) {
            Some(tag) => Ok(Self(tag, std::marker::PhantomData)),
            None => Err(serde::de::Error::custom(format!("unknown type `{found}`, expected one of {:?}", R::TYPES))),
        }
    }
}
