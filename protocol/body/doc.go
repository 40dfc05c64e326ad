// Package body owns the bodies that are JSON: one struct for every class that
// RocketMQ serialises into a request, an answer or a configuration file, with the
// Java name, and the compressed form of the broker registration.
//
// Marshal and Unmarshal speak fastjson's dialect (compat/fastjson): names in
// alphabetical order, nulls left out, integer and object keys without quotes. An
// empty string field is null. MarshalStandard is valid JSON, for clients that ask
// for it, MarshalPretty the form of configuration files. Unmarshal copies, its
// results stay valid when the frame is gone, and gives missing names their Java
// default.
//
// The package holds no state and starts nothing.
package body

import "github.com/merlinmq/merlin/compat/fastjson"

// Marshal writes a body in fastjson's compact form (RemotingSerializable.encode).
// It fails only for a type that has no form, a mistake of the caller.
func Marshal(v any) ([]byte, error) { return fastjson.Append(nil, v, fastjson.Compact) }

// Append is Marshal into dst.
func Append(dst []byte, v any) ([]byte, error) { return fastjson.Append(dst, v, fastjson.Compact) }

// MarshalStandard writes a body as valid JSON: keys in quotes and sorted, only
// ASCII (the answer of code 105 to clients from 4.9.4 on).
func MarshalStandard(v any) ([]byte, error) { return fastjson.Append(nil, v, fastjson.Standard) }

// MarshalPretty writes a body in fastjson's pretty form (configuration files).
func MarshalPretty(v any) ([]byte, error) { return fastjson.Append(nil, v, fastjson.Pretty) }

// Unmarshal reads a body in any of the forms into the struct v points to. An error
// wraps fastjson.ErrSyntax.
func Unmarshal(data []byte, v any) error { return fastjson.Unmarshal(data, v) }
