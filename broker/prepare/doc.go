// Package prepare turns what a client sent into the record that is stored: the
// properties the broker adds, and the topics that a message takes a detour
// through (delay levels). Every verb that stores a message goes through it, so
// that the rules stand once. It holds no state but the level table and owns
// neither goroutine nor lock.
package prepare
