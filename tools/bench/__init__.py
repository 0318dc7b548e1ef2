"""The benchmark table: what one operation of each part costs on this machine."""
