// Package arch holds the machine-checked habits of the project: who may import
// whom, package docs, sizes of files and functions, calls that are banned outside
// their seams, the list of locks, and the tie between the table of request codes,
// the routes of the servers and docs/SKIPPED.md. It has tests only.
package arch
