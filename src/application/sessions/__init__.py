"""Sessions: one sitting of a principal."""
