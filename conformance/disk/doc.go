// Package disk lets one store directory go between Java brokers and Merlin, there
// and back, and proves after each hop that nothing changed on the way.
//
// A Trip is a name server, one directory with its broker.conf, and a Ledger of what
// it must hold. A Hop starts a broker of some kind on the directory, compares
// everything with the ledger, adds to it, and stops or kills the broker. What is
// compared: the bytes of every record at its queue offset, every message by its key
// and by its unique id, topics and groups with their settings, committed offsets,
// the files in config as they lie on the disk, delayed messages (once, not early)
// and transactions (ended as their producer said, once).
//
// A Trip belongs to one goroutine; the producer of transactions answers on the
// goroutines of its connection, under producer.mu, a leaf. Test code only.
// docs/DURABILITY.md says what was seen.
package disk
