// Package tempfile makes temporary files that leave nothing behind.
package tempfile
