package topology

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// MaxSnapshot bounds a signed snapshot, in bytes: what Consul takes as one value. Three rings of twenty cells never come to
// more than 64 KiB, however their slots are scattered.
const MaxSnapshot = 512 << 10

// Forms of a ring in a snapshot.
const (
	// formRuns has the ring's runs: short where neighbours are alike.
	formRuns = 0
	// formPacked has every slot's owner, then every slot's epoch, in as few bits each as the largest needs: short where
	// neighbours differ.
	formPacked = 1
)

// Encode a valid map as the body of a snapshot: the same map gives the same bytes. ErrInvalid, ErrTooBig.
func Encode(m *Map) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	body := m.encode()
	if len(body) > MaxSnapshot-overhead {
		return nil, fmt.Errorf("%w: %d bytes of map", ErrTooBig, len(body))
	}
	return body, nil
}

func (m *Map) encode() []byte {
	b := binary.AppendUvarint(nil, m.Version)
	b = binary.AppendUvarint(b, uint64(len(m.Cells)))
	for i := range m.Cells {
		b = appendCell(b, &m.Cells[i])
	}
	b = binary.AppendUvarint(b, uint64(len(m.Rings)))
	for i := range m.Rings {
		b = appendText(b, string(m.Rings[i].Region))
		b = appendSlots(b, &m.Rings[i])
	}
	b = binary.AppendUvarint(b, uint64(len(m.Overrides)))
	for _, o := range m.Overrides {
		b = m.appendOverride(b, o)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendCell(b []byte, c *Cell) []byte {
	b = appendText(appendText(b, c.ID), string(c.Region))
	b = append(b, byte(slices.Index(states, c.State)))
	b = binary.AppendUvarint(b, uint64(c.Weight))
	b = binary.AppendUvarint(b, uint64(c.Capacity))
	return appendText(appendText(appendText(b, c.Public), c.Internal), c.Admin)
}

// appendSlots in the shorter form; runs when both are alike.
func appendSlots(b []byte, r *Ring) []byte {
	runs, packed := encodeRuns(r), encodePacked(r)
	if len(runs) <= len(packed) {
		return append(append(b, formRuns), runs...)
	}
	return append(append(b, formPacked), packed...)
}

// encodeRuns: how many, then for each its length less one, its owner and how its epoch differs from the run's before.
func encodeRuns(r *Ring) []byte {
	var b []byte
	var n, epoch uint64
	for s := 0; s < ident.Slots; {
		o, from := r.Slots[s], s
		for s < ident.Slots && r.Slots[s].Cell == o.Cell && r.Slots[s].Epoch == o.Epoch {
			s++
		}
		b = binary.AppendUvarint(b, uint64(s-from-1))
		b = binary.AppendUvarint(b, uint64(o.Cell))
		b = binary.AppendVarint(b, int64(o.Epoch-epoch)) // wraps both ways alike
		n, epoch = n+1, o.Epoch
	}
	return append(binary.AppendUvarint(nil, n), b...)
}

// encodePacked: the smallest epoch, how many bits an owner and an epoch above it have, then both columns.
func encodePacked(r *Ring) []byte {
	least, most, cell := r.Slots[0].Epoch, uint64(0), uint16(0)
	for _, o := range r.Slots {
		least, most, cell = min(least, o.Epoch), max(most, o.Epoch), max(cell, o.Cell)
	}
	owner, epoch := bits.Len16(cell), bits.Len64(most-least)
	b := append(binary.AppendUvarint(nil, least), byte(owner), byte(epoch))
	at := len(b) * 8
	b = append(b, make([]byte, ident.Slots/8*(owner+epoch))...)
	for _, o := range r.Slots {
		putBits(b, at, owner, uint64(o.Cell))
		at += owner
	}
	for _, o := range r.Slots {
		putBits(b, at, epoch, o.Epoch-least)
		at += epoch
	}
	return b
}

// putBits of v at a bit of b whose place is still 0, the lowest first.
func putBits(b []byte, at, width int, v uint64) {
	for width > 0 {
		n := min(8-at%8, width)
		b[at/8] |= byte(v&(1<<n-1)) << (at % 8)
		v, at, width = v>>n, at+n, width-n
	}
}

func getBits(b []byte, at, width int) (v uint64) {
	for have := 0; have < width; {
		n := min(8-at%8, width-have)
		v |= uint64(b[at/8]>>(at%8)) & (1<<n - 1) << have
		at, have = at+n, have+n
	}
	return v
}

// An override is its kind and ring in one byte, the 24 characters of its id as two numbers to the base of 36, and its cell.
const (
	idDigits = "0123456789abcdefghijklmnopqrstuvwxyz"
	idHalf   = 12
)

func (m *Map) appendOverride(b []byte, o Override) []byte {
	kind := byte(m.ringIndex(o.Customer.Region())) << 1
	if o.Customer.Guest() {
		kind |= 1
	}
	b = append(b, kind)
	random := string(o.Customer[len(o.Customer)-2*idHalf:])
	for _, half := range []string{random[:idHalf], random[idHalf:]} {
		var v uint64
		for i := range idHalf {
			v = v*36 + uint64(strings.IndexByte(idDigits, half[i]))
		}
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.AppendUvarint(b, uint64(o.Cell))
}

// decode the body of a snapshot. What is not exactly what Encode makes of a valid map is ErrInvalid.
func decode(body []byte) (*Map, error) {
	r := &reader{left: body}
	m := &Map{Version: r.number()}
	for range r.count(maxCells) {
		m.Cells = append(m.Cells, r.cell())
	}
	for range r.count(maxRings) {
		if r.failed { // each ring takes memory
			break
		}
		m.Rings = append(m.Rings, Ring{Region: ident.Region(r.text(maxName))})
		r.slots(&m.Rings[len(m.Rings)-1])
	}
	var overrides []Override
	for range r.count(MaxOverrides) {
		overrides = append(overrides, r.override(m))
	}
	if r.failed || len(r.left) > 0 {
		return nil, fmt.Errorf("%w: the body ends too early or too late", ErrInvalid)
	}
	m.SetOverrides(overrides)
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !bytes.Equal(m.encode(), body) { // a number written longer than need be, overrides in another order
		return nil, fmt.Errorf("%w: the map could be written shorter, or in order", ErrInvalid)
	}
	return m, nil
}

// reader of a body. After the first failure everything reads as nothing.
type reader struct {
	left   []byte
	failed bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.left)
	r.skip(n)
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.left)
	r.skip(n)
	return v
}

// skip the n bytes that were read; nought or less is a failure.
func (r *reader) skip(n int) {
	if n <= 0 || r.failed {
		r.failed, r.left = true, nil
		return
	}
	r.left = r.left[n:]
}

// count of what follows; none when it is more than it may be.
func (r *reader) count(most int) int {
	n := r.number()
	if n > uint64(most) {
		r.failed, r.left = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.left) {
		r.failed, r.left = true, nil
		return nil
	}
	b := r.left[:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) text(most int) string { return string(r.bytes(r.count(most))) }

func (r *reader) cell() (c Cell) {
	c.ID, c.Region = r.text(maxName), ident.Region(r.text(maxName))
	if state := int(r.byte()); state < len(states) {
		c.State = states[state]
	}
	// Numbers that no int has are none that a map has.
	c.Weight, c.Capacity = int(r.number()), int(r.number())
	c.Public, c.Internal, c.Admin = r.text(maxAddress), r.text(maxAddress), r.text(maxAddress)
	return c
}

func (r *reader) slots(ring *Ring) {
	switch r.byte() {
	case formRuns:
		r.runs(ring)
	case formPacked:
		r.packed(ring)
	default:
		r.failed = true
	}
}

func (r *reader) runs(ring *Ring) {
	s, epoch := 0, uint64(0)
	for range r.count(ident.Slots) {
		length := r.count(ident.Slots-1) + 1
		cell := r.count(maxCells)
		epoch += uint64(r.signed())
		if s+length > ident.Slots {
			r.failed = true
			return
		}
		for range length {
			ring.Slots[s] = SlotOwner{Cell: uint16(cell), Epoch: epoch}
			s++
		}
	}
	r.failed = r.failed || s != ident.Slots
}

func (r *reader) packed(ring *Ring) {
	least, owner, epoch := r.number(), int(r.byte()), int(r.byte())
	if owner > 16 || epoch > 64 {
		r.failed = true
		return
	}
	b := r.bytes(ident.Slots / 8 * (owner + epoch))
	if r.failed {
		return
	}
	for s := range ring.Slots {
		ring.Slots[s].Cell = uint16(getBits(b, s*owner, owner))
		ring.Slots[s].Epoch = least + getBits(b, ident.Slots*owner+s*epoch, epoch)
	}
}

func (r *reader) override(m *Map) Override {
	kind := r.byte()
	var halves [2]uint64
	for i := range halves {
		if b := r.bytes(8); b != nil {
			halves[i] = binary.BigEndian.Uint64(b)
		}
	}
	cell := r.count(maxCells)
	if int(kind>>1) >= len(m.Rings) {
		r.failed = true
		return Override{}
	}
	code, _ := m.Rings[kind>>1].Region.Code() // without one the id is malformed, and the map invalid
	var random [2 * idHalf]byte
	for i, v := range halves {
		for d := idHalf - 1; d >= 0; d-- {
			random[i*idHalf+d], v = idDigits[v%36], v/36
		}
	}
	letter := "c-"
	if kind&1 == 1 {
		letter = "g-"
	}
	return Override{Customer: ident.CustomerID(letter + string(code) + "-" + string(random[:])), Cell: uint16(cell)}
}
