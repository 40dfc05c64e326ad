// Package javastr owns the two Java text rules that reach disks and wires:
// String.hashCode (consume queue tags codes, index keys) and the text of a double.
// It holds no state and starts nothing.
package javastr
