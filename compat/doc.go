// Package compat and its sub-packages hold the Java behaviours that nobody else
// owns: configuration files, the fastjson dialect, String.hashCode, version
// ordinals. They know nothing of the rest of the project.
package compat
