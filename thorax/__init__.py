"""Thorax: MLOps for multi-label diagnosis on chest radiographs.

Research software, not a medical device. Importing this package is cheap: it pulls in no framework.
"""

__version__ = "0.1.0"
