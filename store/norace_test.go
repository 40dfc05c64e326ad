//go:build !race

package store

// raceEnabled makes the longest tests do less.
const raceEnabled = false
