// Package fastjson owns the JSON dialect of fastjson 1.2.83, which is what
// RocketMQ peers write to each other and to disk: object keys that are numbers
// or whole objects and stand there without quotes. The writer gives fastjson's
// bytes; the reader accepts what fastjson accepts of it (names without quotes or
// in single quotes, trailing commas, object keys, comments, numbers in quotes).
//
// The package holds no state and starts nothing. It does not map Go types: the
// owners of a body write and read its fields one by one.
package fastjson
