// Package fastjson owns the JSON dialect of fastjson 1.2.83, which is what
// RocketMQ peers write to each other and to disk: object keys that are numbers
// or whole objects and stand there without quotes, names in alphabetical order,
// nulls left out. The writer gives fastjson's bytes; the reader accepts what
// fastjson accepts of it (names without quotes or in single quotes, trailing
// commas, object keys, comments, numbers in quotes, unknown names).
//
// Go types map as Java's do. A struct is a bean, its names come from the tag
// `json:"name"`, and options from the tag
// `java:"option,…"`. Pointers, nil slices and nil maps are null; an empty
// string is null, too, because that is what an unset String is in Java (elements
// and map values are written as they are, and so is a field whose default is
// another text). []byte is base64 and an Enum is its
// name. Options:
//
//	nonnil   Java's field starts with an empty collection: nil is written as one
//	set      a Java Set, or a map of them: duplicates are dropped on reading
//	inline   a Java array: the pretty form keeps it on one line, like a Set
//	sorted   a TreeMap: keys in their order
//	table=N  a hash map that Java makes with N places
//
// Other maps are written in the order of a Java hash map, so that a document that
// Java wrote keeps its bytes. What is not supported: references ({"$ref":…}) and
// type names (@type); both are read as plain names.
//
// The package starts nothing. Its only state is a cache of what the tags say.
package fastjson
