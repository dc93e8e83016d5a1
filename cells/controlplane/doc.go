// Package controlplane.
package controlplane
