// Package rpc is what every Connect listener of a cell has in common.
//
// A request passes, from the outside in:
//
//	recover > gate (audience) > authenticate > owns the slot? > deadline > handle > errors
//
// Who may call a method and which cell may serve it are options of the method in its proto
// file; the gate looks them up by path before anything of the body is read. A path that is
// not known, and a method that states no audience, are refused on the public listener.
//
// Between our own processes nothing is compressed and HTTP/1.1 connections are pooled:
// compression costs more than it saves inside a data centre.
package rpc
