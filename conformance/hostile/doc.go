// Package hostile shows what bad peers can do to the servers: nothing. It throws
// garbage, truncated, oversized and slow input at every port while a well-behaved
// client works. It has tests only.
package hostile
