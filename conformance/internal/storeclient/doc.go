// Package storeclient is the client of the tests that look at a store from
// outside: it sends, reads every queue from its first to its last offset, also
// where some of it is damaged, and asks for messages by key and by place.
//
// A Client is one connection; it may be used by one goroutine. What it returns
// owns its memory. It reads records with protocol/message, starts no goroutines of
// its own and has no locks. Test code only.
package storeclient
